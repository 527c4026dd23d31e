-- Queue: people have said something new, which every worker hears of with its next tick, or when it next looks for work.
-- Locks the only row, last of all.
update intendant.control set version = version + 1 where id = 1
