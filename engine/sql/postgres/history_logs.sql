-- Logs: what one intent's attempts have logged, in the order in which they ended. Primary key. 1 intent.
select step, generation::bigint, attempt::bigint, lines, cut_lines, cut_bytes, at, worker
  from intendant.log where intent_id = $1::uuid order by at, step, generation, attempt
