-- After a COMMIT whose answer was lost, and when a fence refuses: which tick was the last. Waits for one that is still
-- on its way.
select tick from intendant.session where id = $1::uuid for update
