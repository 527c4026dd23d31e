-- Record: these suspects have made progress, and are none any more. 1 session, 2 leases.
update intendant.lease set alone = false, crashes = 0 where session_id = $1::uuid and id = any ($2::uuid[])
