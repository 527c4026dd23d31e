-- One intent's failed attempts, as they ended; those of one step in their order, whatever clocks say.
select step, generation::bigint, attempt::bigint, failure, error, started_at, finished_at, retry_at, worker
  from intendant.attempt where intent_id = $1::uuid
 order by min(finished_at) over (partition by step, generation order by attempt desc), step, generation, attempt
