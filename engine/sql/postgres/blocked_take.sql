-- Cancel: takes the tasks of these intents out of *blocked*; they are locked. Primary key. 1 intents.
delete from intendant.blocked where intent_id = any ($1::uuid[]) returning intent_id
