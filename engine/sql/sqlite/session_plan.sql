-- Tick: the shape that plans of a kind have in this session; a reaper reads it. 1 session; 2 kind, hash.
update intendant_session_kind as k set plan_hash = n.value ->> 1
  from jsonb_each(?2) n
 where k.session_id = ?1 and k.kind = n.value ->> 0
