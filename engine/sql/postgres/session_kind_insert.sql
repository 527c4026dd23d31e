-- What the session carries out. 1 session, 2–3 kind, queue.
insert into intendant.session_kind (session_id, kind, queue)
select $1::uuid, n.kind, n.queue from unnest($2::text[], $3::text[]) as n (kind, queue)
