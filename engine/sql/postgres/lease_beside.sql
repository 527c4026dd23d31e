-- Claim: these suspects are no longer by themselves. 1 session, 2 leases.
update intendant.lease set alone = false where session_id = $1::uuid and id = any ($2::uuid[])
