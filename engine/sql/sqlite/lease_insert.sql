-- Claim: one row for the whole batch. 1 lease, 2 session, 3 crashes, 4 alone, 5 tasks, 6 now.
insert into intendant_lease (id, session_id, claimed_at, crashes, alone, tasks)
values (?1, ?2, ?6, ?3, ?4, (select json_group_array(n.value) from jsonb_each(?5) n))
returning claimed_at
