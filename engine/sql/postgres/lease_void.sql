-- After a request whose answer was lost: sees to it that this lease is not made any more, by making an empty one; waits for
-- one that is just being made. Nothing comes back if it was made. 1 lease, 2 session.
insert into intendant.lease (id, session_id, claimed_at, tasks) values ($1::uuid, $2::uuid, clock_timestamp(), '{}')
on conflict (id) do nothing
returning id
