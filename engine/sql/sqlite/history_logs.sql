-- Logs: what one intent's attempts have logged, in the order in which they ended. Primary key. 1 intent.
select step, generation, attempt, lines, cut_lines, cut_bytes, at, worker
  from intendant_log where intent_id = ?1 order by at, step, generation, attempt
