-- Retention: what had to stay, and why, the latest looked at first, at most 1 of them. Index retention_kept_look.
select intent_id, what, reason, looked_at from intendant.retention_kept order by looked_at desc, intent_id desc limit $1::bigint
