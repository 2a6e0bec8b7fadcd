from sqlalchemy import BigInteger, Column, MetaData, Table

metadata = MetaData()
events = Table("events", metadata, Column("id", BigInteger, primary_key=True))
