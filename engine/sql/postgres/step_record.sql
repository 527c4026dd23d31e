-- Tick: what steps have to say that have a row already, or whose word is no result. A recorded result is never overwritten (I6). Times are given as microseconds ago, so that
-- no worker's clock is mixed with the database's.
-- 1 worker; 2–17 intent, name, generation, state, attempt, output, error, progress, due in, started ago, finished ago,
-- whether from here on there is no way back, queue, reason, spare, waits. What is sent to another queue is carried out by nobody yet.
insert into intendant.step as s (intent_id, name, generation, state, attempt, output, error, progress, due_at, started_at,
                                 finished_at, worker, point_of_no_return, queue, reason, spare, waits, begun_at)
select n.intent_id, n.name, n.generation, n.state, n.attempt, n.output::json, n.error, n.progress::json,
       now() + n.due_in * interval '1 microsecond', now() - n.started_ago * interval '1 microsecond',
       now() - n.finished_ago * interval '1 microsecond',
       case when n.queue is null then $1::text end, nullif(n.final, false), n.queue, n.reason,
       n.spare, n.waits::json,
       case when n.state <> 'pending' then now() - n.started_ago * interval '1 microsecond' end
  from unnest($2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[],
              $10::bigint[], $11::bigint[], $12::bigint[], $13::boolean[], $14::text[], $15::text[],
              $16::bigint[], $17::text[])
       as n (intent_id, name, generation, state, attempt, output, error, progress, due_in, started_ago, finished_ago,
               final, queue, reason, spare, waits)
on conflict (intent_id, name, generation) do update
   set state = excluded.state, attempt = excluded.attempt, output = excluded.output, error = excluded.error,
       progress = coalesce(excluded.progress, s.progress), due_at = excluded.due_at, started_at = excluded.started_at,
       finished_at = excluded.finished_at, worker = excluded.worker,
       point_of_no_return = coalesce(excluded.point_of_no_return, s.point_of_no_return),
       queue = coalesce(excluded.queue, s.queue), reason = excluded.reason,
       spare = excluded.spare, waits = excluded.waits, begun_at = coalesce(s.begun_at, excluded.begun_at)
 where s.state not in ('succeeded', 'skipped', 'undone')
