-- What the session claims: intents of a kind in its queue, and the kind's routed steps in others. 1 session, 2–3 kind, queue.
insert into intendant.session_kind (session_id, kind, queue)
select $1::uuid, n.kind, n.queue from unnest($2::text[], $3::text[]) as n (kind, queue)
