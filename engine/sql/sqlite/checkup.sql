-- Checkup: settings and figures by their names. The clock is this process's. 1 the time.
select 'now_us', cast(?1 as text)
union all select 'version', sqlite_version()
union all select 'bytes', cast(c.page_count * s.page_size as text) from pragma_page_count c, pragma_page_size s
union all select 'free_bytes', cast(f.freelist_count * s.page_size as text) from pragma_freelist_count f, pragma_page_size s
union all select 'journal_mode', journal_mode from pragma_journal_mode
