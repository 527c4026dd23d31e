-- Worker: what plain SQL has asked to stop, the first of it. Primary key; the table has what nobody has carried out yet. 1 how many.
select id, intent_id, actor, reason from intendant_cancel_request order by id limit ?1
