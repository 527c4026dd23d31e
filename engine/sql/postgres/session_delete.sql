-- Reap and close: the session; its kinds go with it.
delete from intendant.session where id = $1::uuid
