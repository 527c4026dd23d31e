-- Tick: the shape that plans of a kind have in this session; a reaper reads it. 1 session, 2–3 kind, hash.
update intendant.session_kind k set plan_hash = n.hash
  from unnest($2::text[], $3::text[]) as n (kind, hash)
 where k.session_id = $1::uuid and k.kind = n.kind
