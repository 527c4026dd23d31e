-- Finish: nobody waits any more.
delete from intendant.wait where intent_id = any ($1::uuid[])
