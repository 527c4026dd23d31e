-- Record: these suspects have made progress, and are none any more. 1 session, 2 leases.
update intendant_lease set alone = 0, crashes = 0 where session_id = ?1 and id in (select n.value from jsonb_each(?2) n)
