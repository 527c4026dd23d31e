-- Housekeeping: failures that are to be counted. 1 how many.
delete from intendant_untold where intent_id in (select intent_id from intendant_untold order by intent_id limit ?1)
returning intent_id
