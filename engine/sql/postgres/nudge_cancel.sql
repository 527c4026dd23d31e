-- Wake: tells workers elsewhere that one of them may hold something that is to be stopped. After a commit.
select pg_notify('intendant', 'cancel')
