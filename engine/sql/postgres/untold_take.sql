-- Housekeeping: failures that are to be counted. Skips those that are being written again. 1 how many.
delete from intendant.untold u
 where u.intent_id = any (array (
   select n.intent_id from intendant.untold n order by n.intent_id limit $1::bigint for update skip locked))
returning u.intent_id
