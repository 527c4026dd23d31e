-- Session: which schedules its code declares. 1 session; 2–3 schedule, revision.
insert into intendant.session_schedule (session_id, schedule, revision)
select $1::uuid, n.schedule, n.revision from unnest($2::text[], $3::bigint[]) as n (schedule, revision)
