-- What the session carries out. 1 session; 2 kind, queue.
insert into intendant_session_kind (session_id, kind, queue)
select ?1, n.value ->> 0, n.value ->> 1 from jsonb_each(?2) n
