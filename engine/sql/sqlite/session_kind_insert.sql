-- What the session carries out. 1 session; 2 kind, queue, plan if its shape is known already.
insert into intendant_session_kind (session_id, kind, queue, plan_hash)
select ?1, n.value ->> 0, n.value ->> 1, n.value ->> 2 from jsonb_each(?2) n
