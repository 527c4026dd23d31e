-- Reap and close: the session's leases.
delete from intendant.lease where session_id = $1::uuid
