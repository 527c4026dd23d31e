-- Session: which schedules its code declares. 1 session; 2 schedule, revision.
insert into intendant_session_schedule (session_id, schedule, revision)
select ?1, n.value ->> 0, n.value ->> 1 from jsonb_each(?2) n
