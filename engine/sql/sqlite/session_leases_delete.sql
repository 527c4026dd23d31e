-- Reap and close: the session's leases.
delete from intendant_lease where session_id = ?1
