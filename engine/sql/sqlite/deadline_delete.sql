-- Housekeeping: deadlines that have been seen to. Primary key. 1 intent, step, generation.
delete from intendant_deadline
 where (intent_id, step, generation) in (select n.value ->> 0, n.value ->> 1, n.value ->> 2 from jsonb_each(?1) n)
