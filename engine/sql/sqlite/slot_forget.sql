-- Queue: it has no limit any more, so nobody has slots of it. Its row is locked; walks the table, which is small. 1 name.
delete from intendant_slot where queue = ?1
