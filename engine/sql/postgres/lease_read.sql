-- After a COMMIT whose answer was lost: was this lease made, and of what.
select l.claimed_at, t.id, l.crashes::bigint from intendant.lease l left join lateral unnest(l.tasks) as t (id) on true where l.id = $1::uuid
