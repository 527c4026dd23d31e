-- Request: intents, their resources, and their tasks. Four statements in one text, since they are always run together.
-- 1 the intents, 2 their resources, 3 now.
insert into intendant_intent (id, kind, queue, account, input, position, priority, locks, release_on_failure,
                              requested_at, run_at, requested_by, parent_id, parent_step, root_id, depth,
                              correlation_id)
select n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4, ?3 - (n.value ->> 6),
       n.value ->> 5, n.value ->> 7, n.value ->> 8, ?3, coalesce(n.value ->> 9, ?3 + (n.value ->> 10)), n.value ->> 11,
       n.value ->> 12, n.value ->> 13, n.value ->> 14, n.value ->> 15,
       n.value ->> 16
  from json_each(?1) n;
insert into intendant_resource (intent_id, resource, mode)
select n.value ->> 0, n.value ->> 1, n.value ->> 2 from json_each(?2) n;
insert into intendant_parked (intent_id, reason, due_at)
select i.id, 'start time', i.run_at
  from json_each(?1) n join intendant_intent i on i.id = n.value ->> 0
 where i.run_at > i.requested_at;
insert into intendant_ready (queue, kind, position, intent_id, started, locks)
select n.value ->> 2, n.value ->> 1, ?3 - (n.value ->> 6), n.value ->> 0, 0, n.value ->> 7
  from json_each(?1) n
 where coalesce(n.value ->> 9, ?3 + (n.value ->> 10), ?3) <= ?3;
