-- Cancel: takes the tasks of these tasks out of *parked*; they are locked. Primary key. 1 tasks.
delete from intendant.parked where intent_id = any ($1::uuid[]) returning intent_id
