-- Tick: leases of which every task is finished or let go of. 1 session, 2 leases.
delete from intendant.lease where session_id = $1::uuid and id = any ($2::uuid[])
