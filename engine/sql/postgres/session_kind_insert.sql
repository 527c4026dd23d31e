-- What the session carries out. 1 session, 2–4 kind, queue, plan if its shape is known already.
insert into intendant.session_kind (session_id, kind, queue, plan_hash)
select $1::uuid, n.kind, n.queue, n.plan_hash from unnest($2::text[], $3::text[], $4::text[]) as n (kind, queue, plan_hash)
