-- Tick: leases of which every task is finished or let go of. 1 session, 2 leases.
delete from intendant_lease where session_id = ?1 and id in (select n.value from jsonb_each(?2) n)
