-- Reap and close: the tasks of a session that are counted in partitions. Index intendant_partition_task_of_session. 1 session.
select task_id from intendant_partition_task where session_id = ?1
