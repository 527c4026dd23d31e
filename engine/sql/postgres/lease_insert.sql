-- Claim: one row for the whole batch. 1 lease, 2 session, 3 crashes, 4 alone, 5 tasks.
insert into intendant.lease (id, session_id, claimed_at, crashes, alone, tasks)
values ($1::uuid, $2::uuid, clock_timestamp(), $3::bigint, $4::boolean, $5::uuid[])
returning claimed_at
