-- One more sort of trouble: a schedule whose ticks nobody decides. As in 0007: the check is a text.
pragma writable_schema = on;
update sqlite_schema set sql = replace(sql, '''kind backs off''', '''kind backs off'', ''schedule overdue''')
 where type = 'table' and name = 'intendant_alert';
pragma writable_schema = reset;
