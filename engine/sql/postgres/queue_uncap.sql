-- Queue: an operator says that it takes whatever comes. Primary key. 1 name.
delete from intendant.backlog where queue = $1::text returning count
