-- Failures: why these failed, without what they carry; the newest first. Primary key. 1 intents.
select intent_id, kind, reason, step, error, finished_at, requested_at
  from intendant_outcome
 where intent_id in (select n.value from jsonb_each(?1) n)
 order by intent_id desc
