-- Queue: an operator says that it takes whatever comes. Primary key. 1 name.
delete from intendant_backlog where queue = ?1 returning count
