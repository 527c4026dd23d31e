-- Tick: what attempts have logged. Of an attempt that was taken up again the last run's lines are kept; the others count as
-- cut. Primary key. 1 worker; 2 intent, step, generation, attempt, lines, cut lines, cut bytes; 3 now.
insert into intendant_log as l (intent_id, step, generation, attempt, lines, cut_lines, cut_bytes, at, worker)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, n.value ->> 5, n.value ->> 6, ?3, ?1
  from jsonb_each(?2) n where true
on conflict (intent_id, step, generation, attempt) do update
   set lines = excluded.lines, at = excluded.at, worker = excluded.worker,
       cut_lines = l.cut_lines + json_array_length(l.lines) + excluded.cut_lines,
       cut_bytes = l.cut_bytes + octet_length(l.lines) + excluded.cut_bytes
