-- After a COMMIT whose answer was lost: was this lease made, and of what.
select l.claimed_at, t.value, l.crashes from intendant_lease l left join jsonb_each(l.tasks) t on true where l.id = ?1
