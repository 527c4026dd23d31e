-- When a fence refuses: which tick was the last.
select tick from intendant_session where id = ?1
