-- Failures: why these failed, without what they carry; the newest first. Primary key. 1 intents.
select intent_id, kind, reason, step, error, finished_at, requested_at
  from intendant.outcome where intent_id = any ($1::uuid[])
 order by intent_id desc
