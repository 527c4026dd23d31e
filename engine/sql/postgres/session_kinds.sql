-- Reap: by which plans the dead session went.
select kind, plan_hash from intendant.session_kind where session_id = $1::uuid
