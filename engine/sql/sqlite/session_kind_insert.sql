-- What the session claims: intents of a kind in its queue, and the kind's routed steps in others. 1 session; 2 kind, queue.
insert into intendant_session_kind (session_id, kind, queue)
select ?1, n.value ->> 0, n.value ->> 1 from jsonb_each(?2) n
