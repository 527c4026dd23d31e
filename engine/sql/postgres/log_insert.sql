-- Tick: what attempts have logged. Of an attempt that was taken up again the last run's lines are kept; the others count as
-- cut. Primary key. 1 worker; 2–8 intent, step, generation, attempt, lines, cut lines, cut bytes.
insert into intendant.log as l (intent_id, step, generation, attempt, lines, cut_lines, cut_bytes, at, worker)
select n.intent_id, n.step, n.generation, n.attempt, n.lines::json, n.cut_lines, n.cut_bytes, now(), $1::text
  from unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[])
       as n (intent_id, step, generation, attempt, lines, cut_lines, cut_bytes)
on conflict (intent_id, step, generation, attempt) do update
   set lines = excluded.lines, at = excluded.at, worker = excluded.worker,
       cut_lines = l.cut_lines + json_array_length(l.lines) + excluded.cut_lines,
       cut_bytes = l.cut_bytes + octet_length(l.lines::text) + excluded.cut_bytes
