-- Claim: the intents themselves. Primary key.
select id, kind, account, input, requested_at, requested_by, parent_id, root_id, correlation_id,
       release_on_failure, locks, depth
  from intendant_intent where id in (select n.value ->> 0 from json_each(?1) n)
