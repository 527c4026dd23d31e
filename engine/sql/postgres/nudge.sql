-- Wake: tells workers elsewhere that there may be something to claim, if one of them could start it at once. After a
-- commit, not within it, where that can be: a notification's commit takes a lock of the whole server.
-- 1 the sessions here, which have been told already.
select pg_notify('intendant', '')
 where exists (select from intendant.session where free > 0 and id <> all ($1::uuid[]))
